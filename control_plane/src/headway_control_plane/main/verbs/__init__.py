"""The control plane's verbs of the command `headway`: one file a group of verbs, each with `register(group)`."""
