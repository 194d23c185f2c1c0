"""The REST API: the desk's verbs for programs, one module for each noun. See docs/api.md."""
