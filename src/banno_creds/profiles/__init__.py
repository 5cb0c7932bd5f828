"""Profiles: the settings of clients, under names, in the user's ``config.toml``.

- `lookup`: which profile applies, and the list of profiles. For `cli`.
- `edits`: adds, replaces and removes a profile. For `cli`.
- `settings`: the settings that a profile may hold, and their checks.
- `file`: reads ``config.toml``, and names its faults with their lines.
- `names`: what a profile may be called.
"""
