"""What answers HTTP: the webhook endpoint and the API. The pages of ops will live here, too."""
