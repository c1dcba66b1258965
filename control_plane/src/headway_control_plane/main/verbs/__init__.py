"""The control plane's verbs of the command `headway`: one file a group of verbs, each with `register(group)`.

The shell imports these modules to learn the verbs, so what a verb needs to run is imported when it runs.
"""
