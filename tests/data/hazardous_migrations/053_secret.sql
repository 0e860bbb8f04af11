select http_header('x', 'sb_secret_abcdefghijklmnop12345678');
-- caught: secret-in-file secrets forbidden
