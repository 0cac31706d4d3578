-- stage 1
CREATE TABLE semicolon (id INT, name STRING, n DOUBLE) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/semicolon.csv',
  'format' = 'csv',
  'csv.field-delimiter' = ';',
  'csv.quote-character' = '''',
  'csv.allow-comments' = 'true',
  'csv.ignore-parse-errors' = 'true'
);

SELECT * FROM semicolon;
