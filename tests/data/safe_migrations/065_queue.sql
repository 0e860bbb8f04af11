create extension if not exists pgmq;
select pgmq.create('emails');
