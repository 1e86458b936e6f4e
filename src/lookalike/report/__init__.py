"""The report of a run: one HTML file, its images, and the same numbers for a terminal.

Nothing of the data, model or job rooms crosses into it: a job fills the plain dataclasses below.
The names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
