"""What changes rows: the transaction on an execution, and whatever else is kept."""
