"""The change of a key at a JWKS URI, in steps that each are safe, and can be done again after being cut off.

Both keys are in the published set while caches may still have the old set, and until nobody signs with the old key.

Room for other wings:

- `rotate`: does the next steps, tells how far a rotation is, goes back to the old key.

Rooms for these:

- `plan`: the next step, from what is seen. Nothing in it looks or acts;
- `under_way`: which rotation is under way, by the journal or by the files;
- `subject`: the profiles that change their key together, and their settings;
- `key_pair`: the new key beside the old one, the files of both, the archive;
- `published`: the set that you publish: the file that is written here, and what its URL says;
- `journal`: what cannot be seen afterwards, such as when a step was done;
- `letter`: what to write to the bank's administrator.
"""
