select vault.create_secret(current_setting('app.settings.mail_key', true), 'mail_key', 'Rotated by hand');
