"""Rules by themselves, folder by folder as in receiver/."""
