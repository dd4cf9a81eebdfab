"""CEL over plain JSON, in ``${{ … }}``: compiled with the document, evaluated per step run."""

from engine.expressions.functions import FUNCTIONS, matches
from engine.expressions.kinds import Kinds
from engine.expressions.suggest import did_you_mean
from engine.expressions.syntax import MACROS, RESERVED
from engine.expressions.template import (
    MAX_EXPRESSIONS,
    ROOTS,
    Allowance,
    Reference,
    Template,
    compile,
)
from engine.expressions.values import BUDGET, Budget, OverBudget

__all__ = [
    "BUDGET",
    "FUNCTIONS",
    "MACROS",
    "MAX_EXPRESSIONS",
    "RESERVED",
    "ROOTS",
    "Allowance",
    "Budget",
    "Kinds",
    "OverBudget",
    "Reference",
    "Template",
    "compile",
    "did_you_mean",
    "matches",
]
