"""Revisions of the schema, applied by `db.engine.upgrade`.

A change of `db.schema.models` comes with a new file in ``versions``, named
``r<revision>_<what it does>.py``; the tests fail until the two agree.
"""
