"""Two vector databases behind an index: PostgreSQL with pgvector, and Qdrant."""
