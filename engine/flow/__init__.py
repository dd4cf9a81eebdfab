"""What the verbs share: a turn's commit, what follows from a move, what expressions see."""
