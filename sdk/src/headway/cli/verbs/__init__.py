"""One file a group of verbs. Each is imported when it is used."""
