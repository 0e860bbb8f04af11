select pg_catalog.set_config('search_path', '', false);
-- caught: setting-leaks transaction caution
