"""The command line: parses, calls the domain, and turns an error into text and an exit code, once.

Its door is `main.run`. Each command has one file, imported when it runs; `keygen` has `replaced_keys` besides, and
`profile` has `profile_list`. The others are shared: `groups` and `parameters` (click's classes), `options`
(declarations), `settings` (what a command is to do), `inputs` (files, standard input, questions), `hidden` (a
question whose answer is not shown), `forms` and `obtained` (results), `browser`, `help`, `mistakes` and `synonyms`
(what was meant by a slip of the hand), `report` (the one place that prints) and its words, `lines`, and `waiting`
(the sign of life).
"""
