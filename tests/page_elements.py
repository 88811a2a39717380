"""What a page holds, by its elements; and a value that no page may take for anything but text."""

from collections import Counter
from html.parser import HTMLParser

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&lt;</td></table></style>{{ 7 * 7 }}"""
HISTORY = [
    {"step": 0, "eval_stsb_spearman": 0.5, "eval_alignment": 0.2, "eval_uniformity": -1.0},
    {"step": 1, "loss": 0.9, "positive_similarity": 0.9, "negative_similarity": 0.4, "in_batch_weight": 0.1},
    {"step": 2, "loss": 0.5, "positive_similarity": 0.8, "negative_similarity": 0.3, "in_batch_weight": 0.05},
    {"step": 2, "eval_stsb_spearman": 0.6, "eval_alignment": 0.3, "eval_uniformity": -1.5},
]


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


class Tags(HTMLParser):
    """Checks that tags are closed in order; remembers what a page asks the network for."""

    def __init__(self):
        super().__init__()
        self.open, self.outside, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.outside += [value for name, value in attributes.items() if name in ("src", "href") and "//" in value]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag not in ("meta", "path", "use", "rect", "br", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in ("path", "use", "rect"):
            return
        assert self.open.pop() == tag


def check_page(text):
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert not tags.outside
    assert "<script" not in text
    return tags
