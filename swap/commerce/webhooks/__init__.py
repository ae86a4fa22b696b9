"""Firms are told over HTTP of what concerns them: endpoints, the outbox of events, and the pump that sends them signed,
in order, until they are taken. A receiver that is away delays nobody else, and nothing is lost by it."""
