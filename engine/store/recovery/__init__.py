"""What recovery asks and writes: leases, lost claims and messages, what is due, repairs."""
