// Sets the colours before anything is drawn: what was chosen last, else what the system prefers.
document.documentElement.dataset.theme =
  localStorage.getItem('theme') || (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark');
