insert into storage.buckets (id, name, public) values ('scans', 'scans', true);
-- caught: public-bucket access caution
