"""What Hydra and OmegaConf complain of, in one sentence."""

from __future__ import annotations

import re

_CONVERSION = re.compile(r"Value '(.*)' of type '\w+' could not be converted to (\w+)")
_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def first_line(error: Exception) -> str:
    """The cause of an error, with the key that it is about.

    >>> first_line(ValueError("Value 'x' of type 'str' could not be converted to Integer"))
    "'x' is not a whole number."
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    place = next((line for line in lines if line.startswith("full_key:")), "")
    where = place.removeprefix("full_key:").strip()
    cause = lines[0] if lines else type(error).__name__
    if isinstance(error.__cause__, Exception) and "Error merging override" in cause:
        override = cause.removeprefix("Error merging override ")
        inner = first_line(error.__cause__).removeprefix(f"{override.partition('=')[0]}: ")
        return f"{override}: {inner}"
    if found := _CONVERSION.fullmatch(cause):
        cause = f"'{found[1]}' is not {_KINDS.get(found[2], found[2])}."
    return f"{where}: {cause}" if where and where not in cause else cause
