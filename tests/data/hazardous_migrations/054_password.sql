insert into public.members (hash) values (extensions.crypt('correct horse', gen_salt('bf')));
-- caught: password-in-seed secrets danger
