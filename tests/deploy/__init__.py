"""Deploy files, each checked by the program that reads it, and run where that can be done here."""
