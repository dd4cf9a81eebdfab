"""The databases: connections, transactions, compiled statements, migrations."""
