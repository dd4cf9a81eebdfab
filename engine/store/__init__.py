"""All SQL: tables, transactions, and the reads that people see."""
