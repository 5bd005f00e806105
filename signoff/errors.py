"""One kind of error for the person at the terminal."""


class SignoffError(Exception):
    """Something the user can act on: what went wrong, where, and what to do next.

    >>> print(SignoffError("port 4000 is taken", where="pid 12 (nginx)", hint="stop it"))
    port 4000 is taken
      where: pid 12 (nginx)
      next:  stop it
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        lines = [what]
        if where:
            lines.append(f"  where: {where}")
        if hint:
            lines.append(f"  next:  {hint}")
        super().__init__("\n".join(lines))


class UsageError(SignoffError):
    """What was asked for cannot be done, which is said before anything is written or started: exit status 4."""
