"""What a page holds, by its elements; and a value that no page may take for anything but text."""

from collections import Counter
from html.parser import HTMLParser

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&lt;</td></table></style>{{ 7 * 7 }}"""


class Elements(HTMLParser):
    """The elements of a page with their attributes' names, its addresses, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found, self.addresses, self.text = Counter(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found[tag, tuple(name for name, _ in attributes)] += 1
        self.addresses |= {value for name, value in attributes if name in ("href", "src", "xlink:href")}

    def handle_data(self, data):
        self.text.append(data)
