"""What mixmend says when something is wrong.

Every message names the cause first and the cure second. All errors derive from
`MixmendError`, which is a `ValueError` so that code written against scikit-learn's
habits catches it too; the command line turns each into one line and exit code 2.
"""

from __future__ import annotations


class MixmendError(ValueError):
    """Base of the errors that a user can mend: bad data, bad options, bad files."""


class DataError(MixmendError):
    """The data cannot be used as given (a NaN rating, a duplicate pair, a text column…)."""


class FileFormatError(MixmendError):
    """A file cannot be read as what it was said to be; names the file, line and column."""


class ModelFileError(FileFormatError):
    """A saved model is truncated, of another format, newer than this version, or for other data."""


class OutputError(MixmendError):
    """An output file cannot be written; nothing was left behind."""


class OptionalDependencyError(MixmendError, ImportError):
    """A feature needs an extra that is not installed; the message names the extra."""


class CollapsedComponentWarning(UserWarning):
    """A component lost (almost) all of its rows or its variance fell to the floor."""


class LikelihoodDecreasedWarning(UserWarning):
    """An EM step lowered its objective by more than rounding can explain."""


class IndependenceWarning(UserWarning):
    """The model assumes that columns do not depend on each other, and the data have holes."""


class EmptyEntityWarning(UserWarning):
    """Rows or columns with nothing observed: kept, and predicted from the prior."""
