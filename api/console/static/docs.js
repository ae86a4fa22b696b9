"use strict";
// Shows the interface's description. Everything comes from this server: no validator of another is asked.
(() => {
  const place = document.getElementById("docs");
  window.SwaggerUIBundle({
    url: place.dataset.document,
    domNode: place,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayOperationId: true,
    filter: true,
    persistAuthorization: false,
    validatorUrl: null,
  });
})();
