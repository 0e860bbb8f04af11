grant select on vault.decrypted_secrets to authenticated;
-- caught: platform-schema access danger
