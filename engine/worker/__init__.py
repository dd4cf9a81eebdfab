"""The verb of a worker: prepare, claim, call user code, settle, go on."""
