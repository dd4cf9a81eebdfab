"""What the engine's workers load to know the user's actors."""

from __future__ import annotations

from actors import actor_step
from tests.support.users_actors import charge, crawl, refuse

steps = [actor_step(actor) for actor in (charge, refuse, crawl)]
