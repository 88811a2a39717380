"""What can be wrong with evaluation data or with an encoder's output."""


class DataError(ValueError):
    """A task's files are missing or malformed; the message names the file, and the line if one is at fault."""


class EncoderError(ValueError):
    """An encoder or batcher returned something that is not one finite row for each sentence."""
