"""Profiles: the settings of clients, under names, in the user's ``config.toml``.

- `lookup`: which profile applies, many profiles at once, and the list of profiles. For `cli`.
- `edits`: adds, changes, replaces and removes a profile. For `cli`.
- `tables`: many profiles from CSV, JSON or TOML, and to one of them. For `cli`.
- `client`: the client that a profile describes. For `ClientConfig.from_profile`; `read_clients` for many.
- `settings`: the settings that a profile may hold, and their checks.
- `file`: reads ``config.toml``, and names its faults with their lines.
- `names`: what a profile may be called.
"""
