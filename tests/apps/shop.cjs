// Two services of a shop: `shop.cjs frontend URL-OF-BACKEND` and `shop.cjs backend`. Knows nothing
// of tracing; @opentelemetry/auto-instrumentations-node brings that.
'use strict';

const http = require('node:http');
const express = require('express');

const [role, backend] = process.argv.slice(2);
const app = express();

if (role === 'frontend') {
  app.get('/checkout/:order', (request, response, next) => {
    http
      .get(`${backend}/stock/${request.params.order}`, (answer) => {
        answer.setEncoding('utf8');
        let body = '';
        answer.on('data', (chunk) => (body += chunk));
        answer.on('end', () => response.json(JSON.parse(body)));
      })
      .on('error', next);
  });
} else {
  app.get('/stock/:order', (request, response) => {
    response.json({ stock: request.params.order * 2 });
  });
}

const server = app.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));

// An ordinary end, on which the SDK sends what it still holds.
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
