"""Options of commands and functions, and what they may be."""


def one_of(name: str, value, allowed):
    """The value, if it is allowed; ValueError that names the option if not."""
    if isinstance(value, bool) or value not in allowed:
        choices = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be one of {choices}; got {value!r}.")
    return value
