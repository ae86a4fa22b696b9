"""The charging plan: its money against the rule's and against a bound, and its time. Case files of others too."""
