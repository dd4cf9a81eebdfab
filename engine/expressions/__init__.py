"""CEL over plain JSON, in ``${{ … }}``: compiled with the document, evaluated per step run."""

from engine.expressions.functions import FUNCTIONS, matches
from engine.expressions.suggest import did_you_mean
from engine.expressions.syntax import MACROS
from engine.expressions.template import ROOTS, Reference, Template, compile

__all__ = [
    "FUNCTIONS",
    "MACROS",
    "ROOTS",
    "Reference",
    "Template",
    "compile",
    "did_you_mean",
    "matches",
]
