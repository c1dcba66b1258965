"""The command `headway`: a shell that each installed distribution adds its verbs to."""
