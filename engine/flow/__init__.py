"""What commands and workers share: a commit, answers, the scope of expressions, definitions."""
