"""Named places between every pair of steps where a test can stop, fail or kill the process.

Switched by `THREADLINE_FAILPOINTS` only where `THREADLINE_TEST_BUILD=1` is set; otherwise a place costs one attribute look-up.
Syntax: `name=kill`, `name=kill@3` (third time), `name=raise`, `name=sleep:0.5`, comma-separated; a trailing `*` in a name matches all that begin so.
`THREADLINE_FAILPOINTS_LOG=FILE` appends every name that was passed, once a process.
"""
