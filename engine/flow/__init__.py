"""What the verbs share: a commit, what follows from a transition, the scope of expressions."""
