"""``python -m engine_app.cli``: the same as ``engine``."""

from engine_app.cli import main

main()
