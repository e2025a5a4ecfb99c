"""What the tests share: real servers, destinations, senders and walks."""
