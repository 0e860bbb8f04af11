create index concurrently on public.documents using hnsw (embedding vector_cosine_ops) with (m = 16);
