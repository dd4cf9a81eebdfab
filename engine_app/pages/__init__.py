"""The pages: what each route shows, as components over its state."""
