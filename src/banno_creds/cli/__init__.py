"""The command line: parses, calls the domain, and turns an error into text and an exit code, once.

Its door is `main.run`. Each command has one file, imported when it runs; `keygen` has `replaced_keys` besides, and
`profile` has `profile_list`. The others are shared.

What is declared: `groups` and `parameters` (click's classes), `options`, `many_options` and `setting_options`.

What is typed: `settings` (what a command is to do), `inputs` (files, standard input, questions), `hidden` (a question
whose answer is not shown), `mistakes` and `synonyms` (what was meant by a slip of the hand).

What comes of it: `forms` and `obtained` (results), `browser`, `help`, `report` (the one place that prints) and its
words, `lines`, and `waiting` (the sign of life).

Many profiles in one run, of `check` and `token`: `many`; begin there. `clients` is whose tokens they are, `rows` the
forms of the result, `progress` tells how far it is.
"""
