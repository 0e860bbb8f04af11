create index concurrently articles_words on public.articles using gin (to_tsvector('english', title || ' ' || body));
