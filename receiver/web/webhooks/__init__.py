"""Webhooks over HTTP: the endpoint, its batches, its log and its refusals."""
