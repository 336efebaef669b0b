"""All that draws: loaded when the first picture is asked for."""

from __future__ import annotations

from web.files.frame_looks import cards_in_words, look_at
from web.files.master_planes import planes_of

__all__ = ["cards_in_words", "look_at", "planes_of"]
